"""What a file says of itself: that it is synthetic, what made it and when, and who signs for that.

origin.py    what is said, in the words of IPTC's vocabulary
xmp.py       as an XMP packet, and back
carriers.py  where each kind of file holds the packet
signing.py   as a signed manifest (C2PA), on demand; keys and certificates
verify.py    whether a signature holds, and what it says
"""

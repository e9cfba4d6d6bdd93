"""SyncTalk_2D (and its ancestor Ultralight-Digital-Human): a U-Net that redraws the lower face of a template folder."""

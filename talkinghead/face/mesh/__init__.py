"""Landmarks of whole faces: BlazeFace finds them, the MediaPipe face mesh places 468 or 478 points on each.

Sources: Bazarevsky et al. 2019 (BlazeFace), Kartynnik et al. 2019 (face mesh), Grishchenko et al. 2020 (attention
mesh); MediaPipe's published graphs `face_detection_short_range` and `face_landmark`. The networks are read from their
TFLite files by OpenCV; nothing else of MediaPipe is needed.
"""

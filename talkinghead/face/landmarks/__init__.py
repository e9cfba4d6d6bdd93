"""Facial landmarks of published systems."""

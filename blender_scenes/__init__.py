"""Photorealistic scenes: the only package that imports bpy."""

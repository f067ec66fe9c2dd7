"""Datasets are made of archives, folders and files, checked before anything is stored."""

"""What the image encoder makes of images: computed once a content, cached, saved and loaded."""

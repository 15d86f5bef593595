"""Three rounds of the data engine on drawn pictures: does the next round need fewer clicks?"""

"""The data engine: masks made with less and less help, in three stages, through the client."""

"""Read which of eight emotions the face and the voice in a clip express."""

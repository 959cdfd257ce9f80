"""What a network could cheat on in a data set, found before anything is trained."""

# The cases name the frame by its place in the tree.
app_flags += -I.

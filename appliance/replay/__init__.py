"""The choice replayed on labelled photos: made from good photos alone, then judged with the labels."""

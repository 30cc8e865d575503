//! Posts in, conversations out: the sample square, readers, cleaning, threading.

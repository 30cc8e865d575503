//! Tensor programs: a closed set of ops; shapes, gradients, costs. Pure: no I/O, no threads.

//! Runs a tensor program on the CPU: kernels, thread pool, memory plan.

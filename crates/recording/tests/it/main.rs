//! The recorder and the archive from outside, in one program: it also plays the processes that are killed.

mod crash;
mod disk;
mod faulty;
mod process;
mod recorder;
mod s3;
mod store;
mod support;
mod tamper;

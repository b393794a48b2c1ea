//! The recorder and the archive from outside, in one program: it also plays the processes that are killed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod crash;
mod disk;
mod faulty;
mod follow;
mod memory;
mod process;
mod recorder;
mod repeats;
mod s3;
mod store;
mod support;
mod tamper;

//! Eats bodies of LFS: batches, answers, locks.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_git::fuzz_lfs(data));

//! Eats requests to git-receive-pack: ref updates, certificates, options.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_git::fuzz_push(data));

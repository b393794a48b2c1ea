//! Eats bodies of writes in which placeholders are looked for.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_k8s::guard::fuzz_guard(data));

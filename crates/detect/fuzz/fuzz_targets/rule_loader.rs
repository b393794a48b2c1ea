//! Eats rule files: each is loaded or refused, and never explodes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_detect::fuzz::rule_loader(data));

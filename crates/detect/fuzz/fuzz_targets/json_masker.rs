//! Eats JSON documents: masked by place, however they are cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_detect::fuzz::json_masker(data));

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_detect::fuzz::rule_loader(data));

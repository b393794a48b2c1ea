#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_detect::fuzz::masker_under_splits(data));

//! Eats recorded bodies of pushes: what is shown of them is read to where they make sense.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_git::fuzz_report(data));

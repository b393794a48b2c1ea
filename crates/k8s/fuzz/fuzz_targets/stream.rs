//! Eats both directions of an upgraded stream: masked, and described, however they are cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_k8s::stream::fuzz_stream(data));

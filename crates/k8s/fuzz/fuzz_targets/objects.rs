//! Eats bodies with objects: JSON, YAML, protobuf in its envelope.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_k8s::parse::object::fuzz_object(data));

//! Eats WebSocket frames of either side.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_k8s::parse::websocket::fuzz_websocket(data));

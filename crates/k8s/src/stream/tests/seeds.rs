//! The seeds of the fuzz targets are what our own encoders write. `UPDATE_SEEDS=1` writes them anew.

use std::{env, fs, path::PathBuf};

use super::*;

#[test]
fn seeds_are_what_the_encoders_write() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (target, name, content) in seeds() {
        let path = folder.join(target).join(name);
        if env::var_os("UPDATE_SEEDS").is_some() {
            fs::create_dir_all(folder.join(target)).unwrap();
            fs::write(&path, &content).unwrap();
        }
        assert!(fs::read(&path).unwrap() == content, "{} is of another time", path.display());
    }
}

fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    // Headers that are not compressed: a fuzzer can change their text.
    let plain = || Encoder::new(Compression::none());
    let opened = opening(&mut plain());
    let mut encoder = plain();
    let mut open = |id, kind| encoder.syn_stream(id, 0, &[("streamtype", kind), ("port", "80")]);
    let ports = [open(1, "error"), open(3, "data"), encode::data(3, true, b"question")].concat();
    let answers = [encode::data(3, true, b"answer"), encode::data(1, false, b"correct horse")].concat();
    let (typed, printed) = (client::typed(), server::printed());
    let (keyed, spoken) = (client::spoken(), server::spoken());
    let mut seeds = vec![
        ("websocket", "client".to_owned(), [&[3], &typed[..]].concat()),
        ("websocket", "server".to_owned(), [&[3], &printed[..]].concat()),
        ("spdy", "client".to_owned(), [&[3], &ports[..]].concat()),
        ("spdy", "command".to_owned(), [&[3], &keyed[..]].concat()),
        ("spdy", "server".to_owned(), [&[3], &spoken[..]].concat()),
    ];
    let up = |wire: &[u8]| tunnelled(Side::Client, wire, &[3, 50]);
    let down = |wire: &[u8]| tunnelled(Side::Server, wire, &[3, 50]);
    let greetings = [message(Side::Server, 0, b"P\0"), message(Side::Server, 1, b"P\0")].concat();
    for (kind, name, client, server) in [
        (0, "v4", typed[..40].to_vec(), printed.clone()),
        (1, "v5", typed, printed),
        (4, "ports", message(Side::Client, 0, b"question"), greetings),
        (3, "spdy", opened.clone(), spoken.clone()),
        (2, "tunnel", up(&opened), down(&spoken)),
        (6, "tunnelled-ports", up(&ports), down(&answers)),
        (7, "spdy-ports", ports, answers),
    ] {
        let length = u16::try_from(client.len()).unwrap().to_be_bytes();
        seeds.push(("stream", name.to_owned(), [&[kind, 3], &length[..], &client, &server].concat()));
    }
    seeds
}

#[test]
fn seeds_do_no_harm() {
    for (target, _, content) in seeds() {
        match target {
            "websocket" => crate::parse::websocket::fuzz_websocket(&content),
            "spdy" => spdy::fuzz_spdy(&content),
            _ => fuzz_stream(&content),
        }
    }
}

//! What a program with kube-rs does, of which the first argument names a part; `KUBECONFIG` says where. Fails where
//! anything is not as it should be.

use anyhow::{Context as _, Result, bail, ensure};
use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{
    Api, AttachParams, AttachedProcess, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams,
    WatchEvent, WatchParams,
};
use kube::runtime::{watcher, watcher::Event};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let client = Client::try_default().await?;
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["objects"] => objects(&Api::default_namespaced(client)).await?,
        ["streams", pod] => streams(&Api::default_namespaced(client), pod).await?,
        ["forward", pod, port] => forward(&Api::default_namespaced(client), pod, port.parse()?).await?,
        ["refused", pod] => refused(client, pod).await?,
        ["create", name] => {
            let maps: Api<ConfigMap> = Api::default_namespaced(client);
            maps.create(&PostParams::default(), &map(name, "held")?).await?;
        }
        ["exec", pod] => {
            let pods: Api<Pod> = Api::default_namespaced(client);
            ensure!(output(pods.exec(pod, ["echo", "released"], &stdout()).await?).await? == "released\n");
        }
        _ => bail!("unknown arguments: {args:?}"),
    }
    println!("done");
    Ok(())
}

fn map(name: &str, colour: &str) -> Result<ConfigMap> {
    let data = json!({ "metadata": { "name": name }, "data": { "colour": colour } });
    Ok(serde_json::from_value(data)?)
}

fn colour(map: &ConfigMap) -> &str {
    map.data.as_ref().and_then(|data| data.get("colour")).map_or("", String::as_str)
}

async fn objects(maps: &Api<ConfigMap>) -> Result<()> {
    let made = maps.create(&PostParams::default(), &map("paint", "red")?).await?;
    ensure!(colour(&maps.get("paint").await?) == "red");
    ensure!(maps.get_opt("nothing").await?.is_none());
    let list = maps.list(&ListParams::default().fields("metadata.name=paint")).await?;
    ensure!(list.items.len() == 1);
    let list = maps.list_metadata(&ListParams::default().limit(1)).await?;
    ensure!(list.items.len() == 1 && list.items[0].types.is_some());

    let since = made.resource_version().context("it has a version")?;
    let only = WatchParams::default().fields("metadata.name=paint").timeout(60);
    let mut watch = maps.watch(&only, &since).await?.boxed();
    let merge = Patch::Merge(json!({ "data": { "colour": "green" } }));
    maps.patch("paint", &PatchParams::default(), &merge).await?;
    seen(&mut watch, "green").await?;
    let strategic = Patch::Strategic(json!({ "data": { "colour": "blue" } }));
    maps.patch("paint", &PatchParams::default(), &strategic).await?;
    seen(&mut watch, "blue").await?;
    let apply = PatchParams::apply("client").force();
    let applied = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "paint" },
        "data": { "colour": "white" },
    });
    maps.patch("paint", &apply, &Patch::Apply(&applied)).await?;
    seen(&mut watch, "white").await?;
    let mut object = maps.get("paint").await?;
    object.data.get_or_insert_default().insert("colour".into(), "black".into());
    maps.replace("paint", &PostParams::default(), &object).await?;
    seen(&mut watch, "black").await?;

    // What controllers do: a list, and a watch from there on.
    let config = watcher::Config::default().fields("metadata.name=paint");
    let mut events = watcher(maps.clone(), config).boxed();
    loop {
        match events.try_next().await?.context("it does not end")? {
            Event::InitApply(map) => ensure!(colour(&map) == "black"),
            Event::InitDone => break,
            Event::Init | Event::Apply(_) | Event::Delete(_) => {}
        }
    }
    maps.delete("paint", &DeleteParams::default()).await?;
    loop {
        match events.try_next().await?.context("it does not end")? {
            Event::Delete(map) => break ensure!(map.name_any() == "paint"),
            Event::Init | Event::InitApply(_) | Event::InitDone | Event::Apply(_) => {}
        }
    }
    ensure!(maps.get_opt("paint").await?.is_none());
    Ok(())
}

/// Waits for the next change that is seen.
async fn seen(
    watch: &mut (impl futures::Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin),
    expected: &str,
) -> Result<()> {
    while let Some(event) = watch.try_next().await? {
        if let WatchEvent::Modified(map) = event {
            ensure!(colour(&map) == expected, "{} is seen, not {expected}", colour(&map));
            return Ok(());
        }
    }
    bail!("{expected} is not seen")
}

fn stdout() -> AttachParams {
    AttachParams::default().stderr(false)
}

async fn output(mut process: AttachedProcess) -> Result<String> {
    let mut text = String::new();
    process.stdout().context("it is attached")?.read_to_string(&mut text).await?;
    process.join().await?;
    Ok(text)
}

/// In a pod that writes `begun`, and after each line that it reads `read` and the line.
async fn streams(pods: &Api<Pod>, pod: &str) -> Result<()> {
    let mut process = pods.exec(pod, ["cat"], &stdout().stdin(true)).await?;
    let mut stdin = process.stdin().context("it is attached")?;
    stdin.write_all(b"to and fro").await?;
    stdin.shutdown().await?;
    drop(stdin);
    ensure!(output(process).await? == "to and fro");

    let words = ["sh", "-c", "echo out; echo err >&2; exit 3"];
    let mut process = pods.exec(pod, words, &AttachParams::default()).await?;
    let (mut out, mut err) = (String::new(), String::new());
    process.stdout().context("it is attached")?.read_to_string(&mut out).await?;
    process.stderr().context("it is attached")?.read_to_string(&mut err).await?;
    let status = process.take_status().context("it has one")?.await.context("it ends")?;
    ensure!((&*out, &*err) == ("out\n", "err\n"), "{out:?} {err:?}");
    ensure!(status.reason.as_deref() == Some("NonZeroExitCode"), "{status:?}");

    let mut log = pods.log_stream(pod, &LogParams { follow: true, ..LogParams::default() }).await?.lines();
    ensure!(log.try_next().await?.as_deref() == Some("begun"));
    let mut process = pods.attach(pod, &stdout().stdin(true)).await?;
    process.stdin().context("it is attached")?.write_all(b"a line\n").await?;
    ensure!(log.try_next().await?.as_deref() == Some("read a line"));
    process.abort();
    let whole = pods.logs(pod, &LogParams::default()).await?;
    ensure!(whole == "begun\nread a line\n", "{whole:?}");
    Ok(())
}

/// To a port at which all that comes is sent back.
async fn forward(pods: &Api<Pod>, pod: &str, port: u16) -> Result<()> {
    let mut forwarder = pods.portforward(pod, &[port]).await?;
    let mut stream = forwarder.take_stream(port).context("it is forwarded")?;
    stream.write_all(b"through and back").await?;
    let mut back = [0; 16];
    stream.read_exact(&mut back).await?;
    ensure!(&back == b"through and back");
    drop(stream);
    forwarder.abort();
    Ok(())
}

/// Asks for what is called `protected`, and a shell in this pod.
async fn refused(client: Client, pod: &str) -> Result<()> {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let pods: Api<Pod> = Api::default_namespaced(client);
    let refusals = [
        maps.get("protected").await.err(),
        maps.create(&PostParams::default(), &map("protected", "red")?).await.err(),
        maps.delete("protected", &DeleteParams::default()).await.err(),
    ];
    for refusal in refusals {
        match refusal {
            Some(kube::Error::Api(status)) if status.code == 403 && status.message.contains("rule protected") => {}
            other => bail!("not refused: {other:?}"),
        }
    }
    let refusal = pods.exec(pod, ["sh"], &stdout()).await.err().context("a shell is refused")?;
    ensure!(format!("{refusal:?}").contains("403"), "{refusal:?}");
    Ok(())
}

//! The registry and its clients, without a gateway between them.

use anyhow::Result;
use lockgate_testkit::{Image, ImageClient, ImageTool, Registry, RegistryOptions, image};

fn image() -> Result<Image> {
    Image::new().layer(&[("etc/motd", b"hello\n")])
}

#[test]
fn all_clients_push_and_pull() -> Result<()> {
    let registry = Registry::start()?;
    let layout = tempfile::tempdir()?;
    let digest = image()?.write(layout.path())?;
    for tool in ImageTool::ALL {
        let client = ImageClient::new(tool, None)?;
        let name = format!("{}/team/{tool:?}:v1", registry.host()).to_lowercase();
        let pushed = client.push(layout.path(), &name)?;
        assert!(pushed.status.success(), "{tool:?}: {}", pushed.stderr);
        let pulled = client.pull(&name)?;
        assert!(pulled.status.success(), "{tool:?}: {}", pulled.stderr);
    }
    assert_eq!(registry.tag("team/skopeo", "v1").as_deref(), Some(digest.as_str()));
    assert!(registry.stores(&image()?.layers()[0]) && !registry.stores(&image::sha256(b"other")));
    assert!(registry.log()?.contains("/v2/team/podman/manifests/v1"));
    Ok(())
}

#[test]
fn a_registry_may_ask_for_a_password() -> Result<()> {
    let registry = Registry::start_with(RegistryOptions { with_password: true })?;
    let layout = tempfile::tempdir()?;
    image()?.write(layout.path())?;
    let name = format!("{}/app:v1", registry.host());
    let credential = format!("{}:{}", Registry::USER, Registry::PASSWORD);
    assert!(!ImageClient::new(ImageTool::Skopeo, None)?.push(layout.path(), &name)?.status.success());
    let pushed = ImageClient::new(ImageTool::Skopeo, Some(&credential))?.push(layout.path(), &name)?;
    assert!(pushed.status.success(), "{}", pushed.stderr);
    Ok(())
}

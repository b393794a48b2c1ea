//! Certificates that the gateway makes for itself: an authority, kept in the data folder so that clients can
//! trust it once, and at every start a new certificate signed by it.

use std::{
    fs,
    io::Write as _,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use jiff::{Timestamp, ToSpan as _, tz::Offset};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::config::read_text;

/// The authority's name, by which certificates refer to it.
const AUTHORITY: &str = "lockgate generated authority";
/// A key in PEM is smaller than this.
const KEY_MAX: u64 = 16 << 10;
/// How long a certificate is valid: what the strictest clients accept.
const DAYS: i64 = 800;

/// The files of a generated certificate.
#[derive(Debug, Clone)]
pub(crate) struct Generated {
    /// The authority's certificate, for clients to trust.
    pub(crate) ca: PathBuf,
    /// The certificate.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
}

/// Makes a certificate for these names, and first an authority where `folder` holds none.
pub(crate) fn generate(folder: &Path, names: &[String]) -> Result<Generated> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let files =
        Generated { ca: folder.join("ca.pem"), cert: folder.join("cert.pem"), key: folder.join("key.pem") };
    let authority = authority(folder, &files.ca)?;
    let mut params = CertificateParams::new(names.to_vec()).context("a name for the certificate")?;
    params.distinguished_name.push(DnType::CommonName, "lockgate");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let today = Offset::UTC.to_datetime(Timestamp::now()).date();
    let day = |days: i64| -> Result<_> {
        let day = today.checked_add(days.days())?;
        let (month, of_month) = (u8::try_from(day.month())?, u8::try_from(day.day())?);
        Ok(rcgen::date_time_ymd(day.year().into(), month, of_month))
    };
    (params.not_before, params.not_after) = (day(-1)?, day(DAYS)?);
    let key = KeyPair::generate()?;
    let cert = params.signed_by(&key, &authority)?;
    write(&files.key, &key.serialize_pem(), 0o600)?;
    write(&files.cert, &cert.pem(), 0o644)?;
    Ok(files)
}

/// The names of a gateway that listens on an address.
pub(crate) fn names(address: IpAddr, more: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if !address.is_unspecified() {
        names.push(address.to_string());
    }
    names.extend(more);
    names.sort_unstable();
    names.dedup();
    names
}

/// The authority in the folder, or a new one.
fn authority(folder: &Path, ca: &Path) -> Result<Issuer<'static, KeyPair>> {
    let key_file = folder.join("ca-key.pem");
    let mut params = CertificateParams::new([])?;
    params.distinguished_name.push(DnType::CommonName, AUTHORITY);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    if key_file.exists() && ca.exists() {
        let key = KeyPair::from_pem(&read_text(&key_file, KEY_MAX)?)
            .with_context(|| format!("{} holds no key", key_file.display()))?;
        return Ok(Issuer::new(params, key));
    }
    let key = KeyPair::generate()?;
    let cert = params.self_signed(&key)?;
    // The key first: a certificate without its key would be of no use, and would stay.
    write(&key_file, &key.serialize_pem(), 0o600)?;
    write(ca, &cert.pem(), 0o644)?;
    Ok(Issuer::new(params, key))
}

/// Replaces a file in one step, so that a crash leaves the old one or the new.
fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(mode).open(&new);
    file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })
    .and_then(|()| fs::rename(&new, path))
    .with_context(context)
}

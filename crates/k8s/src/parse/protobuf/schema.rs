//! The fields that are read of the kinds that run containers or hold secrets: numbers and names of
//! `generated.proto` in k8s.io/api and k8s.io/apimachinery (v0.36). The numbers are the same in all of their
//! versions.

/// The fields that are read of a message.
pub(super) struct Message(pub &'static [Field]);

pub(super) struct Field {
    pub number: u32,
    /// As in JSON.
    pub name: &'static str,
    pub kind: Kind,
}

pub(super) enum Kind {
    Flag,
    Number,
    Text,
    Texts,
    One(&'static Message),
    Many(&'static Message),
    /// A message whose fields stand in JSON among those of the one around it.
    Inline(&'static Message),
    /// From text to text.
    Map,
    /// From text to bytes, which are base64 in JSON.
    BytesMap,
}

/// The number of `raw` in `runtime.Unknown`.
pub(super) const UNKNOWN_RAW: u32 = 2;

/// The message of a kind; none for those that are not known. Kinds of the built-in groups that are not listed
/// run nothing.
pub(super) fn of(kind: &str, api_version: &str) -> Option<&'static Message> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let is_builtin = !group.contains('.') || group.ends_with(".k8s.io");
    Some(match kind {
        "Pod" => &POD,
        "PodTemplate" => &POD_TEMPLATE,
        "ReplicationController" | "Deployment" | "ReplicaSet" | "StatefulSet" => &WORKLOAD_3,
        "DaemonSet" => &WORKLOAD_2,
        "Job" => &JOB,
        "CronJob" => &CRON_JOB,
        "Secret" => &SECRET,
        "ConfigMap" => &CONFIG_MAP,
        "ServiceAccount" => &SERVICE_ACCOUNT,
        "PersistentVolume" => &PERSISTENT_VOLUME,
        // Of every group, and without metadata.
        "DeleteOptions" => &DELETE_OPTIONS,
        "List" => return None,
        _ if is_builtin => &OTHER,
        _ => return None,
    })
}

const fn field(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind }
}

pub(super) static UNKNOWN: Message = Message(&[
    field(1, "typeMeta", Kind::Inline(&TYPE_META)),
    field(3, "contentEncoding", Kind::Text),
    field(4, "contentType", Kind::Text),
]);

static TYPE_META: Message = Message(&[field(1, "apiVersion", Kind::Text), field(2, "kind", Kind::Text)]);

pub(super) static OTHER: Message = Message(&[field(1, "metadata", Kind::One(&METADATA))]);

static DELETE_OPTIONS: Message = Message(&[
    field(1, "gracePeriodSeconds", Kind::Number),
    field(2, "preconditions", Kind::One(&PRECONDITIONS)),
    field(3, "orphanDependents", Kind::Flag),
    field(4, "propagationPolicy", Kind::Text),
    field(5, "dryRun", Kind::Texts),
    field(6, "ignoreStoreReadErrorWithClusterBreakingPotential", Kind::Flag),
]);

static PRECONDITIONS: Message =
    Message(&[field(1, "uid", Kind::Text), field(2, "resourceVersion", Kind::Text)]);

static METADATA: Message = Message(&[
    field(1, "name", Kind::Text),
    field(2, "generateName", Kind::Text),
    field(3, "namespace", Kind::Text),
    field(5, "uid", Kind::Text),
    field(6, "resourceVersion", Kind::Text),
    field(11, "labels", Kind::Map),
    field(12, "annotations", Kind::Map),
]);

static SECRET: Message = Message(&[
    field(1, "metadata", Kind::One(&METADATA)),
    field(2, "data", Kind::BytesMap),
    field(3, "type", Kind::Text),
    field(4, "stringData", Kind::Map),
]);

static CONFIG_MAP: Message = Message(&[
    field(1, "metadata", Kind::One(&METADATA)),
    field(2, "data", Kind::Map),
    field(3, "binaryData", Kind::BytesMap),
]);

static SERVICE_ACCOUNT: Message = Message(&[
    field(1, "metadata", Kind::One(&METADATA)),
    field(2, "secrets", Kind::Many(&NAMED_3)),
    field(3, "imagePullSecrets", Kind::Many(&NAMED)),
]);

static PERSISTENT_VOLUME: Message = Message(&[
    field(1, "metadata", Kind::One(&METADATA)),
    field(2, "spec", Kind::One(&PERSISTENT_VOLUME_SPEC)),
]);

static PERSISTENT_VOLUME_SPEC: Message =
    Message(&[field(2, "persistentVolumeSource", Kind::Inline(&PERSISTENT_VOLUME_SOURCE))]);

static PERSISTENT_VOLUME_SOURCE: Message =
    Message(&[field(3, "hostPath", Kind::One(&HOST_PATH)), field(20, "local", Kind::One(&HOST_PATH))]);

static POD: Message =
    Message(&[field(1, "metadata", Kind::One(&METADATA)), field(2, "spec", Kind::One(&POD_SPEC))]);

static POD_TEMPLATE: Message =
    Message(&[field(1, "metadata", Kind::One(&METADATA)), field(2, "template", Kind::One(&POD))]);

static WORKLOAD_2: Message =
    Message(&[field(1, "metadata", Kind::One(&METADATA)), field(2, "spec", Kind::One(&TEMPLATE_2))]);

static WORKLOAD_3: Message =
    Message(&[field(1, "metadata", Kind::One(&METADATA)), field(2, "spec", Kind::One(&TEMPLATE_3))]);

static JOB: Message =
    Message(&[field(1, "metadata", Kind::One(&METADATA)), field(2, "spec", Kind::One(&TEMPLATE_6))]);

static CRON_JOB: Message =
    Message(&[field(1, "metadata", Kind::One(&METADATA)), field(2, "spec", Kind::One(&CRON_JOB_SPEC))]);

static CRON_JOB_SPEC: Message = Message(&[field(5, "jobTemplate", Kind::One(&JOB))]);

static TEMPLATE_2: Message = Message(&[field(2, "template", Kind::One(&POD))]);

static TEMPLATE_3: Message = Message(&[field(3, "template", Kind::One(&POD))]);

static TEMPLATE_6: Message = Message(&[field(6, "template", Kind::One(&POD))]);

static POD_SPEC: Message = Message(&[
    field(1, "volumes", Kind::Many(&VOLUME)),
    field(2, "containers", Kind::Many(&CONTAINER)),
    field(8, "serviceAccountName", Kind::Text),
    field(9, "serviceAccount", Kind::Text),
    field(10, "nodeName", Kind::Text),
    field(11, "hostNetwork", Kind::Flag),
    field(12, "hostPID", Kind::Flag),
    field(13, "hostIPC", Kind::Flag),
    field(14, "securityContext", Kind::One(&POD_SECURITY)),
    field(15, "imagePullSecrets", Kind::Many(&NAMED)),
    field(20, "initContainers", Kind::Many(&CONTAINER)),
    field(34, "ephemeralContainers", Kind::Many(&EPHEMERAL_CONTAINER)),
]);

static POD_SECURITY: Message = Message(&[
    field(2, "runAsUser", Kind::Number),
    field(3, "runAsNonRoot", Kind::Flag),
    field(8, "windowsOptions", Kind::One(&WINDOWS)),
]);

static EPHEMERAL_CONTAINER: Message =
    Message(&[field(1, "ephemeralContainerCommon", Kind::Inline(&CONTAINER))]);

static CONTAINER: Message = Message(&[
    field(1, "name", Kind::Text),
    field(2, "image", Kind::Text),
    field(3, "command", Kind::Texts),
    field(4, "args", Kind::Texts),
    field(7, "env", Kind::Many(&ENV)),
    field(15, "securityContext", Kind::One(&SECURITY)),
    field(19, "envFrom", Kind::Many(&ENV_FROM)),
]);

static SECURITY: Message = Message(&[
    field(1, "capabilities", Kind::One(&CAPABILITIES)),
    field(2, "privileged", Kind::Flag),
    field(4, "runAsUser", Kind::Number),
    field(5, "runAsNonRoot", Kind::Flag),
    field(7, "allowPrivilegeEscalation", Kind::Flag),
    field(10, "windowsOptions", Kind::One(&WINDOWS)),
]);

static WINDOWS: Message = Message(&[field(4, "hostProcess", Kind::Flag)]);

static CAPABILITIES: Message = Message(&[field(1, "add", Kind::Texts), field(2, "drop", Kind::Texts)]);

static ENV: Message = Message(&[
    field(1, "name", Kind::Text),
    field(2, "value", Kind::Text),
    field(3, "valueFrom", Kind::One(&ENV_SOURCE)),
]);

static ENV_SOURCE: Message = Message(&[field(4, "secretKeyRef", Kind::One(&REFERENCE))]);

static ENV_FROM: Message = Message(&[field(3, "secretRef", Kind::One(&REFERENCE))]);

/// A message that refers to another object by an embedded name.
static REFERENCE: Message = Message(&[field(1, "localObjectReference", Kind::Inline(&NAMED))]);

static NAMED: Message = Message(&[field(1, "name", Kind::Text)]);

static NAMED_3: Message = Message(&[field(3, "name", Kind::Text)]);

static VOLUME: Message =
    Message(&[field(1, "name", Kind::Text), field(2, "volumeSource", Kind::Inline(&VOLUME_SOURCE))]);

static VOLUME_SOURCE: Message = Message(&[
    field(1, "hostPath", Kind::One(&HOST_PATH)),
    field(6, "secret", Kind::One(&SECRET_VOLUME)),
    field(8, "iscsi", Kind::One(&SECRET_REF_10)),
    field(11, "rbd", Kind::One(&SECRET_REF_7)),
    field(12, "flexVolume", Kind::One(&SECRET_REF_3)),
    field(13, "cinder", Kind::One(&SECRET_REF_4)),
    field(14, "cephfs", Kind::One(&SECRET_REF_5)),
    field(18, "azureFile", Kind::One(&SECRET_VOLUME)),
    field(25, "scaleIO", Kind::One(&SECRET_REF_3)),
    field(26, "projected", Kind::One(&PROJECTED)),
    field(27, "storageos", Kind::One(&SECRET_REF_5)),
    field(28, "csi", Kind::One(&CSI)),
    field(30, "image", Kind::One(&IMAGE_VOLUME)),
]);

static HOST_PATH: Message = Message(&[field(1, "path", Kind::Text)]);

static SECRET_VOLUME: Message = Message(&[field(1, "secretName", Kind::Text)]);

static SECRET_REF_3: Message = Message(&[field(3, "secretRef", Kind::One(&NAMED))]);

static SECRET_REF_4: Message = Message(&[field(4, "secretRef", Kind::One(&NAMED))]);

static SECRET_REF_5: Message = Message(&[field(5, "secretRef", Kind::One(&NAMED))]);

static SECRET_REF_7: Message = Message(&[field(7, "secretRef", Kind::One(&NAMED))]);

static SECRET_REF_10: Message = Message(&[field(10, "secretRef", Kind::One(&NAMED))]);

static CSI: Message = Message(&[field(5, "nodePublishSecretRef", Kind::One(&NAMED))]);

static IMAGE_VOLUME: Message = Message(&[field(1, "reference", Kind::Text)]);

static PROJECTED: Message = Message(&[field(1, "sources", Kind::Many(&PROJECTION))]);

static PROJECTION: Message = Message(&[field(1, "secret", Kind::One(&REFERENCE))]);

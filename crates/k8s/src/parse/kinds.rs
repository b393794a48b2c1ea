//! What the API server calls the objects of its own resources.

use super::info::Resource;

const KINDS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "Binding",
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "Namespace",
            "Node",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        ],
    ),
    ("apps", &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"]),
    ("autoscaling", &["HorizontalPodAutoscaler"]),
    ("batch", &["CronJob", "Job"]),
    ("certificates.k8s.io", &["CertificateSigningRequest"]),
    ("coordination.k8s.io", &["Lease"]),
    ("discovery.k8s.io", &["EndpointSlice"]),
    ("networking.k8s.io", &["Ingress", "IngressClass", "NetworkPolicy"]),
    ("policy", &["PodDisruptionBudget"]),
    ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("storage.k8s.io", &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"]),
];

/// The kind of the objects of a resource, where that is built in; none of a subresource.
pub(crate) fn of(resource: &Resource) -> Option<&'static str> {
    let (_, kinds) = KINDS.iter().find(|(group, _)| *group == resource.group)?;
    let is_whole = resource.subresource.is_empty();
    kinds.iter().copied().find(|kind| is_whole && plural(kind) == resource.resource)
}

/// As the API server itself makes the name of a resource of that of a kind.
fn plural(kind: &str) -> String {
    let name = kind.to_ascii_lowercase();
    match name.as_bytes() {
        // In the plural already.
        b"endpoints" => name,
        [.., b's'] => name + "es",
        [first @ .., b'y'] => name[..first.len()].to_owned() + "ies",
        _ => name + "s",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_resources_are_those_of_kinds_in_the_plural() {
        for (kind, name) in [
            ("ConfigMap", "configmaps"),
            ("Endpoints", "endpoints"),
            ("Ingress", "ingresses"),
            ("NetworkPolicy", "networkpolicies"),
            ("StorageClass", "storageclasses"),
        ] {
            assert_eq!(plural(kind), name);
        }
    }
}

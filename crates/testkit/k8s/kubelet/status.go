package main

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const podIP = "127.0.0.1"

// status is the pod's, from that of its containers.
func (p *pod) status() corev1.PodStatus {
	status := corev1.PodStatus{
		HostIP: podIP, HostIPs: []corev1.HostIP{{IP: podIP}},
		PodIP: podIP, PodIPs: []corev1.PodIP{{IP: podIP}},
		StartTime: &p.started, QOSClass: p.object.Status.QOSClass,
		InitContainerStatuses:      statuses(p.of(initial)),
		ContainerStatuses:          statuses(p.of(regular)),
		EphemeralContainerStatuses: statuses(p.of(ephemeral)),
	}
	status.Phase = phase(p.object.Spec.RestartPolicy, status.InitContainerStatuses, status.ContainerStatuses)
	ready := status.Phase == corev1.PodRunning
	for _, c := range status.ContainerStatuses {
		ready = ready && c.Ready
	}
	initialized := status.Phase != corev1.PodPending
	for condition, holds := range map[corev1.PodConditionType]bool{
		corev1.PodScheduled: true, corev1.PodInitialized: initialized,
		corev1.ContainersReady: ready, corev1.PodReady: ready,
	} {
		status.Conditions = append(status.Conditions, p.condition(condition, holds))
	}
	return status
}

func (p *pod) condition(condition corev1.PodConditionType, holds bool) corev1.PodCondition {
	value := corev1.ConditionFalse
	if holds {
		value = corev1.ConditionTrue
	}
	return corev1.PodCondition{Type: condition, Status: value, LastTransitionTime: metav1.Now()}
}

func statuses(containers []*container) []corev1.ContainerStatus {
	var statuses []corev1.ContainerStatus
	for _, c := range containers {
		statuses = append(statuses, c.status())
	}
	return statuses
}

func phase(policy corev1.RestartPolicy, initial, regular []corev1.ContainerStatus) corev1.PodPhase {
	for _, c := range initial {
		if ended := c.State.Terminated; ended != nil && ended.ExitCode != 0 && policy == corev1.RestartPolicyNever {
			return corev1.PodFailed
		}
	}
	running, failed := false, false
	for _, c := range regular {
		switch ended := c.State.Terminated; {
		case ended != nil:
			failed = failed || ended.ExitCode != 0
		case c.State.Running != nil || c.LastTerminationState.Terminated != nil:
			running = true
		default:
			return corev1.PodPending
		}
	}
	switch {
	case running:
		return corev1.PodRunning
	case failed:
		return corev1.PodFailed
	default:
		return corev1.PodSucceeded
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// pods are the pods of the node.
type pods struct {
	client kubernetes.Interface
	node   string
	folder string

	mu      sync.Mutex
	byUID   map[types.UID]*pod
	closing bool
}

func newPods(client kubernetes.Interface, node, folder string) *pods {
	return &pods{client: client, node: node, folder: folder, byUID: map[types.UID]*pod{}}
}

// watch follows the API server's pods until the context ends.
func (p *pods) watch(ctx context.Context) {
	factory := informers.NewSharedInformerFactory(p.client, 0)
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(it any) { p.seen(ctx, it.(*corev1.Pod)) },
		UpdateFunc: func(_, it any) { p.seen(ctx, it.(*corev1.Pod)) },
		DeleteFunc: func(it any) {
			if gone, ok := it.(cache.DeletedFinalStateUnknown); ok {
				it = gone.Obj
			}
			if it, ok := it.(*corev1.Pod); ok {
				p.gone(it.UID)
			}
		},
	})
	if err != nil {
		klog.Fatal(err)
	}
	factory.Start(ctx.Done())
}

// seen is told the present state of a pod: binds it, starts it, stops it.
func (p *pods) seen(ctx context.Context, object *corev1.Pod) {
	switch object.Spec.NodeName {
	case p.node:
	case "":
		if object.DeletionTimestamp == nil {
			go p.bind(ctx, object)
		}
		return
	default:
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.byUID[object.UID]
	if known == nil && !p.closing {
		known = newPod(p, object)
		p.byUID[object.UID] = known
		go known.run(ctx)
	}
	if known != nil {
		known.update(ctx, object)
	}
}

// bind is the scheduler.
func (p *pods) bind(ctx context.Context, object *corev1.Pod) {
	err := p.client.CoreV1().Pods(object.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: object.Namespace, Name: object.Name, UID: object.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: p.node},
	}, metav1.CreateOptions{})
	if err != nil {
		klog.ErrorS(err, "cannot bind", "pod", klog.KObj(object))
	}
}

func (p *pods) gone(uid types.UID) {
	p.mu.Lock()
	known := p.byUID[uid]
	delete(p.byUID, uid)
	p.mu.Unlock()
	if known != nil {
		known.kill()
	}
}

// killAll ends every process that was started.
func (p *pods) killAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing = true
	for _, pod := range p.byUID {
		pod.kill()
	}
}

// find gives a pod, and one of its containers when it is named.
func (p *pods) find(namespace, name, container string) (*pod, *container, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pod := range p.byUID {
		if pod.object.Namespace != namespace || pod.object.Name != name {
			continue
		}
		if container == "" {
			return pod, nil, nil
		}
		if found := pod.container(container); found != nil {
			return pod, found, nil
		}
		return nil, nil, fmt.Errorf("container %q not found in pod %q", container, name)
	}
	return nil, nil, fmt.Errorf("pod %q not found", name)
}

// list gives the objects of the pods.
func (p *pods) list() corev1.PodList {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
	for _, pod := range p.byUID {
		list.Items = append(list.Items, *pod.object)
	}
	return list
}

// pod is a pod that was bound to the node.
type pod struct {
	pods   *pods
	object *corev1.Pod // as it was first seen
	folder string
	// stopped is closed when nothing is to be started any more.
	stopped chan struct{}
	stop    sync.Once
	running sync.WaitGroup

	mu         sync.Mutex
	containers []*container
	started    metav1.Time
	report     sync.Mutex
}

func newPod(pods *pods, object *corev1.Pod) *pod {
	folder := filepath.Join(pods.folder, object.Namespace, object.Name)
	p := &pod{pods: pods, object: object, folder: folder, stopped: make(chan struct{}), started: metav1.Now()}
	for i := range object.Spec.InitContainers {
		p.containers = append(p.containers, newContainer(p, &object.Spec.InitContainers[i], initial))
	}
	for i := range object.Spec.Containers {
		p.containers = append(p.containers, newContainer(p, &object.Spec.Containers[i], regular))
	}
	return p
}

// update starts what is new in a pod, and stops one that is deleted.
func (p *pod) update(ctx context.Context, object *corev1.Pod) {
	if object.DeletionTimestamp != nil {
		grace := time.Duration(0)
		if seconds := object.DeletionGracePeriodSeconds; seconds != nil {
			grace = time.Duration(*seconds) * time.Second
		}
		p.stop.Do(func() {
			close(p.stopped)
			go p.delete(ctx, grace)
		})
		return
	}
	for i := range object.Spec.EphemeralContainers {
		ephemeralContainer := &object.Spec.EphemeralContainers[i]
		if p.container(ephemeralContainer.Name) != nil {
			continue
		}
		spec := corev1.Container(ephemeralContainer.EphemeralContainerCommon)
		c := newContainer(p, &spec, ephemeral)
		p.mu.Lock()
		p.containers = append(p.containers, c)
		p.mu.Unlock()
		p.running.Go(func() { c.run(ctx, corev1.RestartPolicyNever) })
	}
}

// run runs the containers to their end.
func (p *pod) run(ctx context.Context) {
	p.tell(ctx)
	for _, c := range p.of(initial) {
		policy := p.object.Spec.RestartPolicy
		if c.spec.RestartPolicy != nil && *c.spec.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			p.running.Go(func() { c.run(ctx, corev1.RestartPolicyAlways) })
			continue
		}
		if policy == corev1.RestartPolicyAlways {
			policy = corev1.RestartPolicyOnFailure
		}
		if c.run(ctx, policy); c.exitCode() != 0 {
			return
		}
	}
	for _, c := range p.of(regular) {
		p.running.Go(func() { c.run(ctx, p.object.Spec.RestartPolicy) })
	}
}

// delete stops the containers, then lets the object go.
func (p *pod) delete(ctx context.Context, grace time.Duration) {
	p.signal(false)
	ended := make(chan struct{})
	go func() {
		p.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(grace):
	}
	p.signal(true)
	<-ended
	zero, uid := int64(0), p.object.UID
	err := p.pods.client.CoreV1().Pods(p.object.Namespace).Delete(ctx, p.object.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &uid},
	})
	if err != nil && !errors.IsNotFound(err) {
		klog.ErrorS(err, "cannot delete", "pod", klog.KObj(p.object))
	}
	if err := os.RemoveAll(p.folder); err != nil {
		klog.ErrorS(err, "cannot remove", "folder", p.folder)
	}
}

// kill ends everything at once.
func (p *pod) kill() {
	p.stop.Do(func() { close(p.stopped) })
	p.signal(true)
}

func (p *pod) signal(kill bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.containers {
		c.signal(kill)
	}
}

func (p *pod) container(name string) *container {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.containers {
		if c.spec.Name == name {
			return c
		}
	}
	return nil
}

func (p *pod) of(kind kind) []*container {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []*container
	for _, c := range p.containers {
		if c.kind == kind {
			found = append(found, c)
		}
	}
	return found
}

// tell reports the pod's status.
func (p *pod) tell(ctx context.Context) {
	// One report at a time: an older one must not come after a newer one.
	p.report.Lock()
	defer p.report.Unlock()
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": p.object.UID},
		"status":   p.status(),
	})
	if err != nil {
		klog.Fatal(err)
	}
	_, err = p.pods.client.CoreV1().Pods(p.object.Namespace).Patch(
		ctx, p.object.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		klog.ErrorS(err, "cannot report", "pod", klog.KObj(p.object))
	}
}

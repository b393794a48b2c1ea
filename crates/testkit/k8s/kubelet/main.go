// A kubelet for tests: a node on which pods are local processes.
//
// It registers a node, binds every pod to it and reports what becomes of them; and it answers the API server's
// calls for exec, attach, port-forward and logs by the library that container runtimes use. There is no image
// and no isolation: a container is its command, run in a folder of its own; what the pod mounts lies below that
// folder, and its ports are the machine's.
package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	folder := flag.String("folder", "", "where pods have their folders")
	node := flag.String("node", "local", "the node's name")
	ready := flag.String("ready", "", "a file to make when the API server and the node are ready")
	var server serverOptions
	flag.StringVar(&server.address, "address", "", "where the API server calls, as host:port")
	flag.StringVar(&server.cert, "cert", "", "the certificate to serve with")
	flag.StringVar(&server.key, "key", "", "its key")
	flag.StringVar(&server.clientCA, "client-ca", "", "who signs the certificates of callers")
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		klog.Fatal(err)
	}
	// The tests make many pods at once and wait for them.
	config.QPS, config.Burst = 1000, 1000
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		klog.Fatal(err)
	}
	pods := newPods(client, *node, *folder)
	go func() { klog.Fatal(serve(server, pods)) }()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-ctx.Done()
		// Whatever still hangs then has hung for long.
		time.AfterFunc(5*time.Second, func() { os.Exit(1) })
		pods.killAll()
		os.Exit(0)
	}()
	if err := register(ctx, client, *node, server.address); err != nil {
		klog.Fatal(err)
	}
	pods.watch(ctx)
	if err := os.WriteFile(*ready, nil, 0o644); err != nil {
		klog.Fatal(err)
	}
	<-ctx.Done()
	stop()
	select {}
}

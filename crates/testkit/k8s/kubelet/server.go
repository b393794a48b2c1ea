package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

const idle = 4 * time.Hour

type serverOptions struct {
	address, cert, key, clientCA string
}

// serve answers the API server, which shows a certificate.
func serve(options serverOptions, pods *pods) error {
	pem, err := os.ReadFile(options.clientCA)
	if err != nil {
		return err
	}
	callers := x509.NewCertPool()
	if !callers.AppendCertsFromPEM(pem) {
		return fmt.Errorf("no certificate in %s", options.clientCA)
	}
	s := &server{pods}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("/pods", s.listPods)
	mux.HandleFunc("/exec/{namespace}/{pod}/{container}", s.exec)
	mux.HandleFunc("/attach/{namespace}/{pod}/{container}", s.attach)
	mux.HandleFunc("/portForward/{namespace}/{pod}", s.portForward)
	mux.HandleFunc("/containerLogs/{namespace}/{pod}/{container}", s.logs)
	listener := &http.Server{
		Addr: options.address, Handler: mux,
		TLSConfig: &tls.Config{ClientCAs: callers, ClientAuth: tls.RequireAndVerifyClientCert},
	}
	return listener.ListenAndServeTLS(options.cert, options.key)
}

type server struct{ pods *pods }

func (s *server) listPods(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.pods.list())
}

// found gives the container of the path, or answers that there is none.
func (s *server) found(w http.ResponseWriter, r *http.Request) *container {
	_, container, err := s.pods.find(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
	}
	return container
}

func (s *server) exec(w http.ResponseWriter, r *http.Request) {
	container := s.found(w, r)
	if container == nil {
		return
	}
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	argv := r.Form["command"]
	if len(argv) == 0 {
		http.Error(w, "you must specify a command", http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(w, r, streams{container}, "", "", "", argv, options,
		idle, remotecommand.DefaultStreamCreationTimeout, remotecommand.SupportedStreamingProtocols)
}

func (s *server) attach(w http.ResponseWriter, r *http.Request) {
	container := s.found(w, r)
	if container == nil {
		return
	}
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeAttach(w, r, streams{container}, "", "", "", options,
		idle, remotecommand.DefaultStreamCreationTimeout, remotecommand.SupportedStreamingProtocols)
}

func (s *server) portForward(w http.ResponseWriter, r *http.Request) {
	if _, _, err := s.pods.find(r.PathValue("namespace"), r.PathValue("pod"), ""); err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	options, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, streams{}, "", "", options,
		idle, remotecommand.DefaultStreamCreationTimeout, portforward.SupportedProtocols)
}

func (s *server) logs(w http.ResponseWriter, r *http.Request) {
	container := s.found(w, r)
	if container == nil {
		return
	}
	options, err := logOptionsOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	log, err := container.logOf(r.FormValue("previous") == "true")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	flush := func() {}
	if flusher, ok := w.(http.Flusher); ok {
		flush = flusher.Flush
	}
	w.Header().Set("Content-Type", "text/plain")
	_ = log.write(r.Context(), options, w, flush)
}

func logOptionsOf(r *http.Request) (logOptions, error) {
	options := logOptions{
		follow:     r.FormValue("follow") == "true",
		timestamps: r.FormValue("timestamps") == "true",
	}
	var err error
	if options.tail, err = number(r, "tailLines"); err != nil {
		return options, err
	}
	if options.limit, err = number(r, "limitBytes"); err != nil {
		return options, err
	}
	seconds, err := number(r, "sinceSeconds")
	if seconds >= 0 {
		options.since = time.Now().Add(-time.Duration(seconds) * time.Second)
	}
	if since := r.FormValue("sinceTime"); since != "" && err == nil {
		options.since, err = time.Parse(time.RFC3339, since)
	}
	return options, err
}

// number is a parameter; -1 when it is not there.
func number(r *http.Request, name string) (int64, error) {
	value := r.FormValue(name)
	if value == "" {
		return -1, nil
	}
	return strconv.ParseInt(value, 10, 64)
}

// streams is what the streaming library calls, for one container.
type streams struct{ container *container }

func (s streams) ExecInContainer(
	_ context.Context, _, _, _ string, argv []string, in io.Reader, out, err io.WriteCloser,
	tty bool, sizes <-chan remotecommand.TerminalSize, _ time.Duration,
) error {
	return s.container.exec(argv, in, out, err, tty, sizes)
}

func (s streams) AttachContainer(
	_ context.Context, _, _, _ string, in io.Reader, out, err io.WriteCloser,
	_ bool, sizes <-chan remotecommand.TerminalSize,
) error {
	return s.container.attach(in, out, err, sizes)
}

func (s streams) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(podIP, strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer conn.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(conn, stream)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, conn)
	stream.Close()
	<-sent
	return err
}

package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/fieldpath"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
)

// What a container without a command does: it waits to be stopped.
var pause = []string{"sleep", "infinity"}

// prepare makes the container's folder and command as its spec says.
func (c *container) prepare(ctx context.Context) (command, error) {
	values, err := c.environment(ctx)
	if err != nil {
		return command{}, err
	}
	for _, mount := range c.spec.VolumeMounts {
		if err := c.mount(ctx, mount); err != nil {
			return command{}, err
		}
	}
	folder := filepath.Join(c.folder, c.spec.WorkingDir)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return command{}, err
	}
	argv := slices.Concat(c.spec.Command, c.spec.Args)
	for i := range argv {
		argv[i] = expansion.Expand(argv[i], expansion.MappingFuncFor(values))
	}
	if len(argv) == 0 {
		argv = pause
	}
	env := make([]string, 0, len(values))
	for name, value := range values {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return command{argv: argv, env: env, folder: folder, tty: c.spec.TTY}, nil
}

// environment is the container's, with what it takes from Secrets and ConfigMaps.
func (c *container) environment(ctx context.Context) (map[string]string, error) {
	values := map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": c.folder, "HOSTNAME": c.pod.object.Name,
	}
	for _, from := range c.spec.EnvFrom {
		var data map[string][]byte
		var err error
		switch {
		case from.SecretRef != nil:
			data, err = c.pod.secret(ctx, from.SecretRef.Name, from.SecretRef.Optional)
		case from.ConfigMapRef != nil:
			data, err = c.pod.configMap(ctx, from.ConfigMapRef.Name, from.ConfigMapRef.Optional)
		}
		if err != nil {
			return nil, err
		}
		for key, value := range data {
			values[from.Prefix+key] = string(value)
		}
	}
	for _, variable := range c.spec.Env {
		value, set, err := c.value(ctx, variable, values)
		if err != nil {
			return nil, err
		}
		if set {
			values[variable.Name] = value
		}
	}
	return values, nil
}

func (c *container) value(ctx context.Context, variable corev1.EnvVar, values map[string]string) (string, bool, error) {
	from := variable.ValueFrom
	switch {
	case from == nil:
		return expansion.Expand(variable.Value, expansion.MappingFuncFor(values)), true, nil
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		data, err := c.pod.secret(ctx, ref.Name, ref.Optional)
		return pick(data, ref.Key, ref.Optional, err)
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		data, err := c.pod.configMap(ctx, ref.Name, ref.Optional)
		return pick(data, ref.Key, ref.Optional, err)
	case from.FieldRef != nil:
		value, err := c.pod.field(from.FieldRef.FieldPath)
		return value, true, err
	default:
		return "", false, fmt.Errorf("the value of %s is of a kind that is not known here", variable.Name)
	}
}

func pick(data map[string][]byte, key string, optional *bool, err error) (string, bool, error) {
	value, found := data[key]
	if err == nil && !found && (optional == nil || !*optional) {
		err = fmt.Errorf("couldn't find key %s", key)
	}
	return string(value), found, err
}

// mount puts a volume below the container's folder, as what it held when the container was started; a volume of
// files that the container writes to is a link, so that containers of a pod share it.
func (c *container) mount(ctx context.Context, mount corev1.VolumeMount) error {
	place := filepath.Join(c.folder, mount.MountPath)
	at := slices.IndexFunc(c.pod.object.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name })
	if at < 0 {
		return fmt.Errorf("there is no volume %s", mount.Name)
	}
	files, err := c.pod.files(ctx, c.pod.object.Spec.Volumes[at].VolumeSource)
	if err != nil {
		return err
	}
	if files == nil {
		shared := filepath.Join(c.pod.folder, ".volumes", mount.Name)
		if err := os.MkdirAll(shared, 0o777); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(shared, place); err != nil && !os.IsExist(err) {
			return err
		}
		return nil
	}
	for name, data := range files {
		path := filepath.Join(place, name)
		if mount.SubPath == name {
			path = place
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Dir(place), 0o755)
}

// files are those of a volume; nil when the containers write them.
func (p *pod) files(ctx context.Context, volume corev1.VolumeSource) (map[string][]byte, error) {
	switch {
	case volume.Secret != nil:
		data, err := p.secret(ctx, volume.Secret.SecretName, volume.Secret.Optional)
		return chosen(data, volume.Secret.Items), err
	case volume.ConfigMap != nil:
		data, err := p.configMap(ctx, volume.ConfigMap.Name, volume.ConfigMap.Optional)
		return chosen(data, volume.ConfigMap.Items), err
	case volume.DownwardAPI != nil:
		return p.downward(volume.DownwardAPI.Items)
	case volume.Projected != nil:
		files := map[string][]byte{}
		for _, source := range volume.Projected.Sources {
			part, err := p.projected(ctx, source)
			if err != nil {
				return nil, err
			}
			maps.Copy(files, part)
		}
		return files, nil
	default:
		return nil, nil
	}
}

func (p *pod) projected(ctx context.Context, source corev1.VolumeProjection) (map[string][]byte, error) {
	switch {
	case source.Secret != nil:
		data, err := p.secret(ctx, source.Secret.Name, source.Secret.Optional)
		return chosen(data, source.Secret.Items), err
	case source.ConfigMap != nil:
		data, err := p.configMap(ctx, source.ConfigMap.Name, source.ConfigMap.Optional)
		return chosen(data, source.ConfigMap.Items), err
	case source.DownwardAPI != nil:
		return p.downward(source.DownwardAPI.Items)
	case source.ServiceAccountToken != nil:
		token, err := p.token(ctx, source.ServiceAccountToken)
		return map[string][]byte{source.ServiceAccountToken.Path: []byte(token)}, err
	default:
		return nil, fmt.Errorf("a projected volume is of a kind that is not known here")
	}
}

func (p *pod) downward(items []corev1.DownwardAPIVolumeFile) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, item := range items {
		if item.FieldRef == nil {
			return nil, fmt.Errorf("%s is of a kind that is not known here", item.Path)
		}
		value, err := p.field(item.FieldRef.FieldPath)
		if err != nil {
			return nil, err
		}
		files[item.Path] = []byte(value)
	}
	return files, nil
}

func chosen(data map[string][]byte, items []corev1.KeyToPath) map[string][]byte {
	if len(items) == 0 {
		return data
	}
	files := map[string][]byte{}
	for _, item := range items {
		files[item.Path] = data[item.Key]
	}
	return files
}

func (p *pod) secret(ctx context.Context, name string, optional *bool) (map[string][]byte, error) {
	secret, err := p.pods.client.CoreV1().Secrets(p.object.Namespace).Get(ctx, name, metav1.GetOptions{})
	if isOptional(err, optional) {
		return map[string][]byte{}, nil
	}
	if err != nil {
		return nil, err
	}
	return secret.Data, nil
}

func (p *pod) configMap(ctx context.Context, name string, optional *bool) (map[string][]byte, error) {
	found, err := p.pods.client.CoreV1().ConfigMaps(p.object.Namespace).Get(ctx, name, metav1.GetOptions{})
	if isOptional(err, optional) {
		return map[string][]byte{}, nil
	}
	if err != nil {
		return nil, err
	}
	data := maps.Clone(found.BinaryData)
	if data == nil {
		data = map[string][]byte{}
	}
	for key, value := range found.Data {
		data[key] = []byte(value)
	}
	return data, nil
}

func isOptional(err error, optional *bool) bool {
	return errors.IsNotFound(err) && optional != nil && *optional
}

func (p *pod) token(ctx context.Context, wanted *corev1.ServiceAccountTokenProjection) (string, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: wanted.ExpirationSeconds,
		BoundObjectRef: &authenticationv1.BoundObjectReference{
			Kind: "Pod", APIVersion: "v1", Name: p.object.Name, UID: p.object.UID,
		},
	}}
	if wanted.Audience != "" {
		request.Spec.Audiences = []string{wanted.Audience}
	}
	accounts := p.pods.client.CoreV1().ServiceAccounts(p.object.Namespace)
	answer, err := accounts.CreateToken(ctx, p.object.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return answer.Status.Token, nil
}

// field is a field of the pod, as the downward API names it.
func (p *pod) field(path string) (string, error) {
	switch path {
	case "spec.nodeName":
		return p.object.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return p.object.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs", "status.hostIP", "status.hostIPs":
		return podIP, nil
	default:
		return fieldpath.ExtractFieldPathAsString(p.object, path)
	}
}

package core

import (
	"crypto/tls"
	"encoding/json"
	"maps"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Secrets is the kind Secret.
func Secrets() *api.Kind {
	doc := corev1.Secret{}.SwaggerDoc()
	return &api.Kind{
		Version: "v1", Kind: "Secret", Resource: "secrets", Singular: "secret", Namespaced: true,
		New:     func() api.Object { return &corev1.Secret{} },
		NewList: func() runtime.Object { return &corev1.SecretList{} },

		Default: api.On(defaultSecret),
		PrepareUpdate: api.OnChange(func(s, old *corev1.Secret) {
			setDefault(&s.Type, old.Type)
		}),
		Validate:       api.Check(validateSecret),
		ValidateUpdate: api.CheckChange(validateSecretUpdate),
		Warnings:       func(obj, _ api.Object) []string { return secretWarnings(obj.(*corev1.Secret)) },
		Unconditional:  true,
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(), api.Column("Type", "string", doc["type"]), api.Column("Data", "string", doc["data"]), api.AgeColumn(),
		},
		Row: api.Cells(func(s *corev1.Secret) []any {
			return []any{s.Name, string(s.Type), int64(len(s.Data)), s.CreationTimestamp}
		}),
		Fields:      fieldsOf(func(s *corev1.Secret) fields.Set { return fields.Set{"type": string(s.Type)} }),
		FieldLabels: []string{"type"},
	}
}

// defaultSecret also folds stringData, which is only for writing, into data.
func defaultSecret(s *corev1.Secret) {
	setDefault(&s.Type, corev1.SecretTypeOpaque)
	if len(s.StringData) > 0 && s.Data == nil {
		s.Data = map[string][]byte{}
	}
	for k, v := range s.StringData {
		s.Data[k] = []byte(v)
	}
	s.StringData = nil
}

func validateSecret(s *corev1.Secret) field.ErrorList {
	errs := valid.KubeFinalizers(s)
	data := field.NewPath("data")
	total := 0
	for _, key := range slices.Sorted(maps.Keys(s.Data)) {
		errs = append(errs, dataKey(data, key)...)
		total += len(s.Data[key])
	}
	if total > corev1.MaxSecretSize {
		errs = append(errs, field.TooLong(data, "", corev1.MaxSecretSize))
	}
	require := func(keys ...string) {
		for _, key := range keys {
			if _, ok := s.Data[key]; !ok {
				errs = append(errs, field.Required(data.Key(key), ""))
			}
		}
	}
	switch s.Type {
	case corev1.SecretTypeServiceAccountToken:
		if s.Annotations[corev1.ServiceAccountNameKey] == "" {
			errs = append(errs, field.Required(field.NewPath("metadata", "annotations").Key(corev1.ServiceAccountNameKey), ""))
		}
	case corev1.SecretTypeDockercfg:
		errs = append(errs, jsonData(s, corev1.DockerConfigKey)...)
	case corev1.SecretTypeDockerConfigJson:
		errs = append(errs, jsonData(s, corev1.DockerConfigJsonKey)...)
	case corev1.SecretTypeBasicAuth:
		_, user := s.Data[corev1.BasicAuthUsernameKey]
		_, password := s.Data[corev1.BasicAuthPasswordKey]
		if !user && !password {
			require(corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey)
		}
	case corev1.SecretTypeSSHAuth:
		if len(s.Data[corev1.SSHAuthPrivateKey]) == 0 {
			errs = append(errs, field.Required(data.Key(corev1.SSHAuthPrivateKey), ""))
		}
	case corev1.SecretTypeTLS:
		require(corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	}
	return errs
}

func jsonData(s *corev1.Secret, key string) field.ErrorList {
	path := field.NewPath("data").Key(key)
	value, ok := s.Data[key]
	if !ok {
		return field.ErrorList{field.Required(path, "")}
	}
	if err := json.Unmarshal(value, &map[string]any{}); err != nil {
		return field.ErrorList{field.Invalid(path, "<secret contents redacted>", err.Error())}
	}
	return nil
}

func validateSecretUpdate(s, old *corev1.Secret) field.ErrorList {
	errs := valid.Immutable(s.Type, old.Type, field.NewPath("type"))
	if isTrue(old.Immutable) {
		if !isTrue(s.Immutable) {
			errs = append(errs, field.Forbidden(field.NewPath("immutable"), immutableOnceSet))
		}
		if !sameData(s.Data, old.Data) {
			errs = append(errs, field.Forbidden(field.NewPath("data"), immutableOnceSet))
		}
	}
	return append(errs, validateSecret(s)...)
}

func secretWarnings(s *corev1.Secret) []string {
	if s.Type != corev1.SecretTypeTLS {
		return nil
	}
	if _, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey]); err != nil {
		return []string{err.Error()}
	}
	return nil
}

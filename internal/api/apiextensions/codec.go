package apiextensions

import (
	"encoding/json"
	"fmt"

	"sampan.dev/internal/api"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
)

// codec keeps definitions as JSON of the version that is served, so that what is stored is what readers get. Upstream writes them in
// v1beta1, which is shorter where versions are alike, and reads both, as this does.
type codec struct{ api.TypedJSON }

var _ api.Codec = codec{}

// Settle implements api.Codec. A definition without conditions has an empty list of them and not null, as upstream's has for a moment:
// "kubectl wait" takes null for an error, and scripts wait at once.
func (c codec) Settle(obj api.Object) {
	c.TypedJSON.Settle(obj)
	if d, ok := obj.(*Definition); ok && d.Status.Conditions == nil {
		d.Status.Conditions = []apiextensionsv1.CustomResourceDefinitionCondition{}
	}
}

// Decode implements api.Codec.
func (c codec) Decode(data []byte, fresh api.Object) (api.Object, error) {
	var head struct {
		APIVersion string `json:"apiVersion"`
	}
	if err := json.Unmarshal(data, &head); err != nil || head.APIVersion != v1beta1.SchemeGroupVersion.String() {
		return c.TypedJSON.Decode(data, fresh)
	}
	var was v1beta1.CustomResourceDefinition
	if err := json.Unmarshal(data, &was); err != nil {
		return nil, fmt.Errorf("decode stored definition: %w", err)
	}
	v1beta1.SetObjectDefaults_CustomResourceDefinition(&was)
	var in apiextensions.CustomResourceDefinition
	if err := v1beta1.Convert_v1beta1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&was, &in, nil); err != nil {
		return nil, fmt.Errorf("convert stored definition %s: %w", was.Name, err)
	}
	d := fresh.(*Definition)
	if err := apiextensionsv1.Convert_apiextensions_CustomResourceDefinition_To_v1_CustomResourceDefinition(&in, d, nil); err != nil {
		return nil, fmt.Errorf("convert stored definition %s: %w", was.Name, err)
	}
	d.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
	return d, nil
}

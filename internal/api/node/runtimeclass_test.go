package node

import (
	"fmt"
	"testing"

	"sampan.dev/internal/api/apitest"
)

const plain = "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: c}\nhandler: h\n"

func TestRuntimeClass(t *testing.T) {
	apitest.Creates(t, RuntimeClasses(), plain, []apitest.Change{
		{"handler: ''", "handler: Required value"},
		{"handler: A_", `handler: Invalid value: "A_": a lowercase RFC 1123 label must consist…`},
		{"overhead: {podFixed: {cpu: '-1', x: 1}}", "overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0\noverhead.limits[x]: Invalid value: \"x\": must be a standard resource type or fully qualified\noverhead.limits[x]: Invalid value: \"x\": must be a standard resource for containers"},
		{"scheduling: {nodeSelector: {A_: '?'}}", `scheduling.nodeSelector: Invalid value: "A_": …` + "\n" + `scheduling.nodeSelector: Invalid value: "?": …`},
		{"scheduling: {tolerations: [{key: k, operator: Exists}, {key: k, operator: Exists}]}", `scheduling.tolerations[1]: Duplicate value: {"Key":"k","Operator":"Exists","Value":"","Effect":"","TolerationSeconds":null}`},
	})
	apitest.Updates(t, RuntimeClasses(), plain, "", []apitest.Change{{"handler: other", "handler: Invalid value: null: field is immutable"}})
	c := apitest.Read(t, RuntimeClasses(), plain, "scheduling: {nodeSelector: {beta.kubernetes.io/os: linux}}")
	if got := fmt.Sprint(RuntimeClasses().Warnings(c, nil)); got != `[scheduling.nodeSelector: deprecated since v1.14; use "kubernetes.io/os" instead]` {
		t.Error(got)
	}
	if got := fmt.Sprint(RuntimeClasses().Row(c)[:2]...); got != fmt.Sprint("c", "h") {
		t.Error(got)
	}
}

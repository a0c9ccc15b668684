package storagemigration

import (
	"fmt"
	"testing"

	"sampan.dev/internal/api/apitest"
)

const plain = "apiVersion: storagemigration.k8s.io/v1\nkind: StorageVersionMigration\nmetadata: {name: m}\nspec: {resource: {group: x.io, resource: things}}\n"

func TestMigration(t *testing.T) {
	k := StorageVersionMigrations()
	apitest.Creates(t, k, plain, []apitest.Change{
		{"spec: {resource: {resource: ''}}", "spec.resource.resource: Required value: resource is required to be set"},
		{"spec: {resource: {resource: A_}}", `spec.resource.resource: Invalid value: "A_": a DNS-1035 label must consist…`},
	})
	apitest.Updates(t, k, plain, "", []apitest.Change{{"spec: {resource: {resource: others}}", `spec: Invalid value: {"Resource":{"group":"x.io","resource":"others"}}: field is immutable`}})
	condition := func(t string) string {
		return "{type: " + t + ", status: 'True', reason: R, message: m, lastTransitionTime: '2026-01-01T00:00:00Z'}"
	}
	apitest.Statuses(t, k, plain, "", []apitest.Change{
		{"status: {resourceVersion: x}", `status.resourceVersion: Invalid value: "x": resource version is not well formed: x`},
		{"status: {resourceVersion: '5', conditions: [" + condition("Succeeded") + "]}", ""},
		{"status: {resourceVersion: '6'}", `status.resourceVersion: Invalid value: "6": field is immutable`},
		{"status: {conditions: [" + condition("Succeeded") + ", " + condition("Failed") + "]}", `status.conditions: Invalid value: …`},
		{"status: {conditions: []}", `status.conditions: Invalid value: []: Success condition cannot be set to false once it is true`},
	})
	if got := fmt.Sprint(k.Row(apitest.Read(t, k, plain, "status: {conditions: ["+condition("Running")+"]}"))...); got != fmt.Sprint("m", "things.x.io", "Running") {
		t.Error(got)
	}
}

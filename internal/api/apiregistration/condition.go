package apiregistration

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// LocallyAvailable is the condition of an APIService that the hub answers for itself.
func LocallyAvailable() apiregistrationv1.APIServiceCondition {
	return apiregistrationv1.APIServiceCondition{
		Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionTrue, LastTransitionTime: metav1.Now(),
		Reason: "Local", Message: "Local APIServices are always available",
	}
}

// Condition returns the condition of a type; nil for none.
func Condition(s *apiregistrationv1.APIService, kind apiregistrationv1.APIServiceConditionType) *apiregistrationv1.APIServiceCondition {
	for i := range s.Status.Conditions {
		if s.Status.Conditions[i].Type == kind {
			return &s.Status.Conditions[i]
		}
	}
	return nil
}

// Available reports whether s was found to answer when it was last looked at.
func Available(s *apiregistrationv1.APIService) bool {
	c := Condition(s, apiregistrationv1.Available)
	return c != nil && c.Status == apiregistrationv1.ConditionTrue
}

// SetCondition puts c in place of the condition of its type, whose time of transition stays when its status does.
func SetCondition(s *apiregistrationv1.APIService, c apiregistrationv1.APIServiceCondition) {
	have := Condition(s, c.Type)
	switch {
	case have == nil:
		s.Status.Conditions = append(s.Status.Conditions, c)
		return
	case have.Status == c.Status:
		c.LastTransitionTime = have.LastTransitionTime
	}
	*have = c
}

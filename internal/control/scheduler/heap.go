package scheduler

// podHeap is a heap of pods that know their place.
type podHeap struct {
	list []*waiting
	less func(a, b *waiting) bool
}

func (h *podHeap) Len() int           { return len(h.list) }
func (h *podHeap) Less(i, j int) bool { return h.less(h.list[i], h.list[j]) }
func (h *podHeap) Swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.list[i].index, h.list[j].index = i, j
}
func (h *podHeap) Push(x any) {
	w := x.(*waiting)
	w.index = len(h.list)
	h.list = append(h.list, w)
}
func (h *podHeap) Pop() any {
	w := h.list[len(h.list)-1]
	h.list[len(h.list)-1] = nil
	h.list = h.list[:len(h.list)-1]
	return w
}

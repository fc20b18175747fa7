package journal

import (
	"slices"
	"testing"
)

// While many wait, the oldest and the newest are next; each is once.
func TestTheNewestDoNotWaitForAll(t *testing.T) {
	t.Parallel()
	f := newFeeder()
	for i := range int64(4*maxFed + 10) {
		f.add([]int64{i})
	}
	first := f.next()
	if len(first) != maxFed || !slices.Contains(first, 0) || !slices.Contains(first, 4*maxFed+9) {
		t.Errorf("%d, from %d to %d", len(first), first[0], first[len(first)-1])
	}
	f.add([]int64{-1}) // it is pushed now
	if second := f.next(); !slices.Contains(second, -1) || !slices.Contains(second, first[maxFed/2-1]+1) {
		t.Errorf("the second round leaves out the newest or the oldest: %v", second)
	}
	all := append(first, -1)
	for {
		more := f.next()
		if len(more) == 0 {
			break
		}
		all = append(all, more...)
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all)+maxFed-1 != 4*maxFed+11 {
		t.Errorf("%d pushes, and those of the second round", len(all))
	}
}

// What is too much to remember is the oldest, which a sweep finds first.
func TestTheOldestAreForgotten(t *testing.T) {
	t.Parallel()
	f := newFeeder()
	f.add(make([]int64, maxHungry))
	f.add([]int64{7})
	if n := f.waiting(); n != maxHungry || f.pushes[n-1] != 7 {
		t.Errorf("%d wait", n)
	}
}

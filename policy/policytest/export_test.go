package policytest

// Expectations lists what the cases of a suite ask for, in their order.
func (s *Suite) Expectations() []Expectation {
	all := make([]Expectation, 0, len(s.rows))
	for _, row := range s.rows {
		all = append(all, row.Expect)
	}
	return all
}

package journal

// columns are the columns of a table that a query is given: each is an []int64
// or a []string, all of one length. In the query their names are column1,
// column2 and so on.
type columns []any

// values writes a table as VALUES, one placeholder for each value.
func (c columns) values() (sql string, args []any) {
	rows := length(c[0])
	args = make([]any, 0, rows*len(c))
	for i := range rows {
		for _, column := range c {
			switch values := column.(type) {
			case []int64:
				args = append(args, values[i])
			case []string:
				args = append(args, values[i])
			}
		}
	}
	return "VALUES " + valuesOf("("+valuesOf("?", len(c))+")", rows), args
}

func length(column any) int {
	switch values := column.(type) {
	case []int64:
		return len(values)
	case []string:
		return len(values)
	}
	return 0
}

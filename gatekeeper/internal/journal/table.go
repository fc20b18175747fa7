package journal

import "strings"

// columns are the columns of a table that a query is given: each is an []int64
// or a []string, all of one length. In the query their names are column1,
// column2 and so on.
type columns []any

// asValues writes a table as VALUES, one placeholder for each value.
func (c columns) asValues() (sql string, args []any) {
	rows := 0
	var form []string
	for _, column := range c {
		switch values := column.(type) {
		case []int64:
			rows = len(values)
			form = append(form, "CAST(? AS bigint)")
		case []string:
			rows = len(values)
			form = append(form, "CAST(? AS text)")
		}
	}
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
	return "(VALUES " + valuesOf("("+strings.Join(form, ", ")+")", rows) + ") AS v", args
}

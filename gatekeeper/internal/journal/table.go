package journal

import (
	"fmt"
	"strconv"
	"strings"
)

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

// single writes a table of one row as a SELECT, which databases make less of
// than of VALUES; cast is the form of a value, with %s for its type, or empty.
func (c columns) single(cast string) (sql string, args []any) {
	form := make([]string, len(c))
	for i, column := range c {
		value := "?"
		if cast != "" {
			value = fmt.Sprintf(cast, kindOf(column))
		}
		form[i] = value + " AS column" + strconv.Itoa(i+1)
	}
	_, args = c.values()
	return "(SELECT " + strings.Join(form, ", ") + ") AS v", args
}

// kindOf is the type of a column.
func kindOf(column any) string {
	if _, numbers := column.([]int64); numbers {
		return "bigint"
	}
	return "text"
}

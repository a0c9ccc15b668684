package resource

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// covers says of which rules about a list or map the generated ones say the same.
type covers struct{ size, unique, keys bool }

// items checks a list of at most most entries; a negative most is no bound.
func items[T any](list []T, most int, check func(*T, *field.Path) field.ErrorList, path *field.Path, by covers) field.ErrorList {
	if err := tooMany(len(list), most, path, by); err != nil {
		return err
	}
	var errs field.ErrorList
	for i := range list {
		errs = append(errs, check(&list[i], path.Index(i))...)
	}
	return errs
}

func tooMany(n, most int, path *field.Path, by covers) field.ErrorList {
	if most < 0 || n <= most {
		return nil
	}
	err := field.TooMany(path, n, most).WithOrigin("maxItems")
	if by.size {
		err = err.MarkCoveredByDeclarative()
	}
	return field.ErrorList{err}
}

// set is items for a list of which no two entries may have the same key.
func set[T any, K comparable](list []T, most int, check func(*T, *field.Path) field.ErrorList, key func(*T) K, path *field.Path, by covers) field.ErrorList {
	if err := tooMany(len(list), most, path, by); err != nil {
		return err
	}
	errs := items(list, -1, check, path, by)
	seen := map[K]bool{}
	for i := range list {
		k := key(&list[i])
		if seen[k] {
			err := field.Duplicate(path.Index(i), k)
			if by.unique {
				err = err.MarkCoveredByDeclarative()
			}
			errs = append(errs, err)
		}
		seen[k] = true
	}
	return errs
}

func itself(s *string) string { return *s }

// entries checks the keys and the values of a map, in the order of the keys. A key longer than longest is shown shortened.
func entries[K ~string, T any](m map[K]T, most, longest int, checkKey func(K, *field.Path) field.ErrorList, check func(T, *field.Path) field.ErrorList, path *field.Path, by covers) field.ErrorList {
	if most >= 0 && len(m) > most {
		return field.ErrorList{field.TooMany(path, len(m), most)}
	}
	var errs field.ErrorList
	for _, key := range slices.Sorted(maps.Keys(m)) {
		bad := checkKey(key, path)
		if by.keys {
			bad = bad.MarkCoveredByDeclarative()
		}
		errs = append(errs, bad...)
		errs = append(errs, check(m[key], path.Key(shortened(string(key), longest)))...)
	}
	return errs
}

// shortened leaves out the middle of a long string.
func shortened(s string, longest int) string {
	longest = max(longest, 16)
	if len(s) <= longest {
		return s
	}
	rest := longest - len("...")
	return s[:(rest+1)/2] + "..." + s[len(s)-rest/2:]
}

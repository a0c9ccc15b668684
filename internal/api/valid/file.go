package valid

import (
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// noBacksteps refuses ".." as an element of a file path.
func noBacksteps(file string, at *field.Path) field.ErrorList {
	if slices.Contains(strings.Split(file, "/"), "..") {
		return Invalid(at, file, "must not contain '..'")
	}
	return nil
}

// descendingPath demands a relative file path that stays below where it starts.
func descendingPath(file string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if path.IsAbs(file) {
		errs = append(errs, field.Invalid(at, file, "must be a relative path"))
	}
	return append(errs, noBacksteps(file, at)...)
}

// volumeFile is descendingPath for a file that a volume writes: names that start with ".." are used by the writer itself.
func volumeFile(file string, at *field.Path) field.ErrorList {
	errs := descendingPath(file, at)
	if strings.HasPrefix(file, "..") && !strings.HasPrefix(file, "../") {
		errs = append(errs, field.Invalid(at, file, "must not start with '..'"))
	}
	return errs
}

// fileMode checks permission bits; nil is fine.
func fileMode(mode *int32, at *field.Path) field.ErrorList {
	if mode != nil && (*mode > 0o777 || *mode < 0) {
		return Invalid(at, *mode, "must be a number between 0 and 0777 (octal), both inclusive")
	}
	return nil
}

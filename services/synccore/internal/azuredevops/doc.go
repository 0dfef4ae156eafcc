// Package azuredevops reads and writes the work items of one Azure DevOps project.
//
// The one invariant: Azure DevOps' JSON, its status codes and its TF and VS error
// codes end here. What leaves this package are item values and faults with one
// sentence for a person; a create is never repeated by this package, of an item, a
// comment or a file alike, because only who knows the mark can tell whether the first
// one took effect.
//
// Sources: Microsoft's REST reference for work item tracking 7.1 and the findings of
// azure-devops.md, cited by section where the code rests on them.
package azuredevops

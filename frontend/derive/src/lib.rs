//! `#[derive(Tree)]` of gradloom: walks and rebuilds a struct or enum field by field.

mod field;

use field::{Field, field_bounds, fields_of};
use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Path, Result, parse_macro_input};

/// Makes a struct or enum a tree of its fields.
///
/// - Every field must be a tree (a tensor or a nesting of them), or carry `#[tree(skip)]`.
/// - A skipped field is static: it is cloned, it has no leaves, and a compiled function is compiled again when it
///   changes. It is told from other values by `Hash`, else by `Debug`; a type with neither counts as changed each time
///   unless it has no size.
/// - The variant of an enum is static in the same way.
/// - Leaves are named by their fields: `layers.0.w`; fields of tuple structs by position.
/// - Type parameters used in fields get the bound `Tree`, those used in skipped fields `Clone`.
/// - `#[tree(crate = path)]` on the type names the crate that exports `Tree`, for crates that re-export gradloom under
///   a path of their own; dependencies renamed in `Cargo.toml` are found without it.
#[proc_macro_derive(Tree, attributes(tree))]
pub fn derive_tree(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// One way the type is built: the struct itself, or one variant of the enum.
struct Variant {
    path: TokenStream,
    fields: Vec<Field>,
}

fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let krate = gradloom(input)?;
    let (variants, is_enum) = variants(input)?;
    let name = &input.ident;
    let mut generics = input.generics.clone();
    let bounds = field_bounds(&krate, &generics, variants.iter().flat_map(|v| &v.fields));
    generics.make_where_clause().predicates.extend(bounds);
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    let visit = variants.iter().enumerate().map(|(i, v)| visit_arm(&krate, v, is_enum.then_some(i as u64)));
    let map = variants.iter().map(|v| map_arm(&krate, v));
    // a reference to an empty enum has no patterns; the place behind it has
    let scrutinee = if variants.is_empty() { quote!(*self) } else { quote!(self) };
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #krate::tree::Tree for #name #ty_generics #where_clause {
            #[allow(unused_variables)]
            fn visit(&self, v: &mut dyn #krate::tree::Visitor) {
                match #scrutinee { #(#visit)* }
            }
            #[allow(unused_variables)]
            fn map_leaves(
                &self,
                f: &mut dyn ::core::ops::FnMut(&#krate::Tensor) -> #krate::Tensor,
            ) -> Self {
                match #scrutinee { #(#map)* }
            }
        }
    })
}

fn variants(input: &DeriveInput) -> Result<(Vec<Variant>, bool)> {
    match &input.data {
        Data::Struct(s) => Ok((vec![Variant { path: quote!(Self), fields: fields_of(&s.fields)? }], false)),
        Data::Enum(e) => {
            let variant = |v: &syn::Variant| {
                if let Some(a) = v.attrs.iter().find(|a| a.path().is_ident("tree")) {
                    return Err(Error::new(
                        a.span(),
                        "`#[tree(..)]` belongs on a field or on the type, not on a variant",
                    ));
                }
                let ident = &v.ident;
                Ok(Variant { path: quote!(Self::#ident), fields: fields_of(&v.fields)? })
            };
            Ok((e.variants.iter().map(variant).collect::<Result<_>>()?, true))
        }
        Data::Union(u) => Err(Error::new(
            u.union_token.span,
            "Tree cannot be derived for a union, because which field is alive is not known; use an enum",
        )),
    }
}

/// `path { member: name, .. }`, as a pattern or an expression; it serves named, tuple and unit forms alike.
fn braces(v: &Variant, bind: impl Fn(&Field, &Ident) -> TokenStream) -> TokenStream {
    let path = &v.path;
    let fields = v.fields.iter().enumerate().map(|(i, f)| {
        let (member, value) = (&f.member, bind(f, &binding(i)));
        quote!(#member: #value)
    });
    quote!(#path { #(#fields),* })
}

fn binding(i: usize) -> Ident {
    format_ident!("field_{i}")
}

fn visit_arm(krate: &Path, v: &Variant, index: Option<u64>) -> TokenStream {
    let pattern = braces(v, |_, name| quote!(#name));
    let variant = index.map(|i| quote!(#krate::tree::Visitor::fact(v, #i);));
    let fields = v.fields.iter().enumerate().map(|(i, f)| {
        let (name, path, ty) = (binding(i), &f.name, &f.ty);
        if f.skip {
            return quote! {{
                #[allow(unused_imports)]
                use #krate::tree::static_fact::{ByDebug as _, ByHash as _, ByNothing as _};
                let fact = (&&&#krate::tree::static_fact::Wrap(#name)).fact();
                #krate::tree::Visitor::fact(v, fact);
            }};
        }
        // the call carries the span of the field's type, so that a type that is no tree is reported there
        let visit = quote_spanned!(ty.span()=> <#ty as #krate::tree::Tree>::visit(#name, v););
        quote! {
            #krate::tree::Visitor::enter(v, &#path);
            #visit
            #krate::tree::Visitor::exit(v);
        }
    });
    quote!(#pattern => { #variant #(#fields)* })
}

fn map_arm(krate: &Path, v: &Variant) -> TokenStream {
    let pattern = braces(v, |_, name| quote!(#name));
    let rebuilt = braces(v, |f, name| {
        let ty = &f.ty;
        if f.skip {
            quote_spanned!(ty.span()=> ::core::clone::Clone::clone(#name))
        } else {
            quote_spanned!(ty.span()=> <#ty as #krate::tree::Tree>::map_leaves(#name, f))
        }
    });
    quote!(#pattern => #rebuilt,)
}

/// The path to the crate that exports `Tree`, under the name the user's `Cargo.toml` gives it.
fn gradloom(input: &DeriveInput) -> Result<Path> {
    let mut given = None;
    for a in input.attrs.iter().filter(|a| a.path().is_ident("tree")) {
        a.parse_nested_meta(|m| {
            if m.path.is_ident("crate") {
                given = Some(m.value()?.parse::<Path>()?);
                return Ok(());
            }
            Err(m.error("unknown option of a type; there is `#[tree(crate = path)]`"))
        })?;
    }
    if let Some(path) = given {
        return Ok(path);
    }
    // the crate users add first, then the one crates of the workspace use
    let name = ["gradloom", "gradloom-frontend"].into_iter().find_map(|package| match crate_name(package) {
        Ok(FoundCrate::Itself) => Some(package.replace('-', "_")),
        Ok(FoundCrate::Name(name)) => Some(name),
        Err(_) => None, // not a dependency, or not built by cargo
    });
    let name = Ident::new(name.as_deref().unwrap_or("gradloom"), Span::call_site());
    syn::parse2(quote!(::#name))
}
